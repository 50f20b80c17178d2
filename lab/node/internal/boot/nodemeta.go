package boot

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	metadataPause  = 200 * time.Millisecond
	reconcilePause = 5 * time.Second
	requestTimeout = 5 * time.Second
)

// keepNodeMetadata writes machine.nodeLabels and machine.nodeAnnotations to the node object with the kubelet's identity,
// as Talos does on workers: whenever they changed, and again if the object lost them.
func (m *Machine) keepNodeMetadata() {
	node, err := m.nodeObject()
	if err != nil {
		m.Say("node metadata: %v", err)

		return
	}

	var (
		last, failed string
		next         time.Time
	)

	for ; ; time.Sleep(metadataPause) {
		machine := m.Config().Machine()
		wanted := wantedMetadata{labels: machine.NodeLabels(), annotations: machine.NodeAnnotations()}

		if this := fmt.Sprint(wanted); this == last && time.Now().Before(next) {
			continue
		} else if err := node.reconcile(wanted, m.Say); err != nil {
			if err.Error() != failed {
				failed = err.Error()
				m.Say("node metadata: %v", err)
			}
		} else {
			last, failed, next = this, "", time.Now().Add(reconcilePause)
		}
	}
}

// nodeObject is this node's object in the cluster.
type nodeObject struct {
	client *http.Client
	url    string
}

func (m *Machine) nodeObject() (nodeObject, error) {
	pair, err := tls.LoadX509KeyPair("/etc/kubernetes/kubelet.crt", "/etc/kubernetes/kubelet.key")
	if err != nil {
		return nodeObject{}, err
	}

	ca, err := os.ReadFile("/etc/kubernetes/ca.crt")
	if err != nil {
		return nodeObject{}, err
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)

	settings := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}

	return nodeObject{
		client: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: settings}},
		url:    fmt.Sprintf("https://%s/api/v1/nodes/%s", m.Node.APIServer, m.Node.Name),
	}, nil
}

func (n nodeObject) reconcile(wanted wantedMetadata, say func(string, ...any)) error {
	raw, err := n.request(http.MethodGet, nil)
	if err != nil {
		return err
	}

	var object struct {
		Metadata nodeMetadata `json:"metadata"`
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}

	patch, err := patchMetadata(object.Metadata, wanted)
	if err != nil || patch == nil {
		return err
	}

	if _, err := n.request(http.MethodPatch, patch); err != nil {
		return err
	}

	say("node metadata: %s", patch)

	return nil
}

func (n nodeObject) request(method string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), method, n.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}

	request.Header.Set("Content-Type", "application/merge-patch+json")

	response, err := n.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck

	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}

	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %.300s", response.Status, text)
	}

	return text, nil
}
