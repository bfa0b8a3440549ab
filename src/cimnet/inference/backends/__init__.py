"""Models of any format behind one call: ONNX Runtime, OpenVINO, torch.export."""
