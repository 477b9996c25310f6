"""Drivers behind the ports: Elasticsearch, Redis, ONNX Runtime and whatever else answers to one of them."""
