GREETING = "hello from the zip"
