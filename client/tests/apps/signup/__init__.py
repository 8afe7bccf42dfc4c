"""People sign up and get a mail: functions are added by name, plain ones and coroutines."""
