"""The lab's Kubernetes control plane: etcd, kube-apiserver, controller-manager and scheduler as plain processes."""
