"""Jobs, sensors, schedules and how an upload moves from one job to the next. No rule of any stage lives here."""
