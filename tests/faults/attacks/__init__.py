"""What somebody does on purpose: files and requests that are to run code, send requests, or take time and memory."""
