"""Stand-in for pulumi-resource-kubernetes 4.34.2: what the unchanged pulumi_kubernetes SDK talks to in the lab.

It handles every kind that the API server has, by the official plugin's rules (repository pulumi/pulumi-kubernetes,
provider/pkg): create is a POST and fails when the object exists, update is server-side apply, diff compares the
program's inputs with the last known live object. It has no Helm, Kustomize, YAML, List or Patch resources and no
client-side apply mode, and says so when asked for them.

    wire          what the engine sends and gets
    kubeconfig    the cluster and credentials a kubeconfig names
    client        one API server: paths, requests, the server's errors
    objects       names, annotations, namespaces of an object
    normal        values as the server spells them
    diff          differences between live object and inputs; what forces a replacement
    ownership     who manages which fields (server-side apply)
    readiness     when an object counts as ready, by kind
    diagnosis     why pods are not: states, events, last log lines
    awaiting      waiting for readiness and for deletion
    settings      the provider's own configuration
    operations    create, update, read, delete
    kinds         which resource types are kinds of the server
    protocol      faults as the plugin protocol has them
    provider      the plugin protocol over the operations
"""

VERSION = "4.34.2"
BANNER = f"stand-in for pulumi-resource-kubernetes {VERSION} from the lab of talos-nvidia-cdi, not the official plugin"
