"""The messages of Talos's machine API that we use, and their generated Python.

Generated anew, from the repository's root, by:
    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. talos_gpu/talos/proto/*.proto
"""
