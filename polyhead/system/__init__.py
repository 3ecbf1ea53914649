"""What the operating system and the machine give: files, locks, signals, processes, devices, memory formats."""
