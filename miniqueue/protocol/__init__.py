"""The protocol: key names, one Lua script a verb, one typed operation a script. No I/O."""
