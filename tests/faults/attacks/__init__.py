"""What somebody does on purpose: files and requests that are to run code, send requests, or take time and memory.

- code in a model: `test_pt2`; models that promise too much: `test_checkpoint_headers`, `test_exported_models`;
- requests to elsewhere: `test_rasters`, `test_outbound`, `test_app`;
- time and memory: `test_images`, `test_server`, `test_app`;
- what is read is not overwritten: `test_rasters`, tests/utils/test_files.py.

What held from the beginning is tried elsewhere: malformed HTTP, slow and vanishing clients, bytes without end in
tests/deploy/serve (test_bad_requests, test_load, test_process); path traversal in tests/deploy/app/test_server.py; ZIP
bombs and traversal in archives, image bombs and pickles in tests/faults (archives, images, checkpoints).
"""
