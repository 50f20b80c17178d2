// Package identity is the machine API's own certificate. A worker has no key of the machine CA: the lab signs for it.
package identity

import (
	"crypto/tls"
	stdx509 "crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"google.golang.org/grpc/credentials"
)

// Lifetime of a server certificate; every boot makes a new one.
const Lifetime = 365 * 24 * time.Hour

// Identity is the machine CA's certificate, and a server certificate of it with its key; all PEM.
type Identity struct{ CA, Certificate, Key []byte }

func (i *Identity) files() map[string]*[]byte {
	return map[string]*[]byte{"ca.crt": &i.CA, "server.crt": &i.Certificate, "server.key": &i.Key}
}

// Issue makes the identity of the node called name at address as of a time, signed by the machine CA of the bundle.
func Issue(bundle *secrets.Bundle, name, address string, now time.Time) (Identity, error) {
	ip := net.ParseIP(address)
	if ip == nil {
		return Identity{}, fmt.Errorf("%q is no IP address", address)
	}

	ca, err := x509.NewCertificateAuthorityFromCertificateAndKey(bundle.Certs.OS)
	if err != nil {
		return Identity{}, err
	}

	pair, err := x509.NewKeyPair(ca,
		x509.IPAddresses([]net.IP{ip, net.IPv4(127, 0, 0, 1)}),
		x509.DNSNames([]string{name}),
		x509.CommonName(name),
		x509.NotBefore(now.Add(-time.Minute)),
		x509.NotAfter(now.Add(Lifetime)),
		x509.ExtKeyUsage([]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageServerAuth}),
	)
	if err != nil {
		return Identity{}, err
	}

	return Identity{CA: bundle.Certs.OS.Crt, Certificate: pair.CrtPEM, Key: pair.KeyPEM}, nil
}

// Save writes the identity into dir, for its owner alone.
func (i Identity) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}

	for name, text := range i.files() {
		if err := os.WriteFile(filepath.Join(dir, name), *text, 0o600); err != nil {
			return err
		}
	}

	return nil
}

// Load reads what Save wrote.
func Load(dir string) (Identity, error) {
	var i Identity

	for name, text := range i.files() {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return Identity{}, err
		}

		*text = raw
	}

	return i, nil
}

// Credentials demand TLS 1.3 and a client certificate of the machine CA, as Talos's apid does.
func (i Identity) Credentials() (credentials.TransportCredentials, error) {
	pair, err := tls.X509KeyPair(i.Certificate, i.Key)
	if err != nil {
		return nil, err
	}

	pool := stdx509.NewCertPool()
	if !pool.AppendCertsFromPEM(i.CA) {
		return nil, fmt.Errorf("the machine CA is no certificate")
	}

	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
	}), nil
}
