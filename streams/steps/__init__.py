"""The five steps, pure: functions of a frame and states, one file each."""
