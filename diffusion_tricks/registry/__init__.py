"""What a plugin is made of: options, tricks, views."""
