"""The kernel's tools: Read, Write, Edit, Bash, Glob, Grep."""
