"""The charts of a report, a file each: every one is drawn anew for the width that it is shown in."""
