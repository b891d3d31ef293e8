"""DNC room: accepted leads -> send / hold / block, with every reason. Unknown is never clear."""
