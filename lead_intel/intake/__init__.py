"""Intake: the bytes of a list become valid leads and quarantined rows. No row is lost, shifted or guessed."""
