package boot

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// keepLabels writes machine.nodeLabels to the node object with the kubelet's identity, as Talos does on workers, and
// again whenever they changed.
func (m *Machine) keepLabels() {
	client, err := kubeletClient()
	if err != nil {
		m.Say("node labels: %v", err)

		return
	}

	var written, failed string

	for ; ; time.Sleep(200 * time.Millisecond) {
		provider := m.Config()
		if provider == nil {
			continue
		}

		labels := provider.Machine().NodeLabels()

		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
		if err != nil || string(body) == written || len(labels) == 0 { // a null would delete every label
			continue
		}

		if err := m.patchNode(client, body); err != nil {
			if err.Error() != failed {
				failed = err.Error()
				m.Say("node labels: %v", err)
			}

			continue
		}

		written, failed = string(body), ""
		m.Say("node labels: %s", body)
	}
}

func kubeletClient() (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair("/etc/kubernetes/kubelet.crt", "/etc/kubernetes/kubelet.key")
	if err != nil {
		return nil, err
	}

	ca, err := os.ReadFile("/etc/kubernetes/ca.crt")
	if err != nil {
		return nil, err
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)

	return &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}, nil
}

func (m *Machine) patchNode(client *http.Client, body []byte) error {
	url := fmt.Sprintf("https://%s/api/v1/nodes/%s", m.Node.APIServer, m.Node.Name)

	request, err := http.NewRequest(http.MethodPatch, url, bytes.NewReader(body))
	if err != nil {
		return err
	}

	request.Header.Set("Content-Type", "application/merge-patch+json")

	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck

	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500)) //nolint:errcheck // best effort, for the message

		return fmt.Errorf("%s: %s", response.Status, text)
	}

	return nil
}
