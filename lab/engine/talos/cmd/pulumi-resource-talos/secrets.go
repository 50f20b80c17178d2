package main

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/gendata"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

var encode = base64.StdEncoding.EncodeToString

// newSecrets makes the outputs of machine.Secrets. As in the provider's schema only keys and tokens are secret.
func newSecrets(talosVersion string) (props, error) {
	contract, err := config.ParseContractFromVersion(talosVersion)
	if err != nil {
		return nil, err
	}
	bundle, err := secrets.NewBundle(secrets.NewFixedClock(time.Now()), contract)
	if err != nil {
		return nil, err
	}
	admin, err := bundle.GenerateTalosAPIClientCertificateWithTTL(role.MakeSet(role.Admin), constants.TalosAPIDefaultCertificateValidityDuration)
	if err != nil {
		return nil, err
	}
	own := props{
		"bootstrapToken":            secret(bundle.Secrets.BootstrapToken),
		"secretboxEncryptionSecret": secret(bundle.Secrets.SecretboxEncryptionSecret),
	}
	if bundle.Secrets.AESCBCEncryptionSecret != "" {
		own["aescbcEncryptionSecret"] = secret(bundle.Secrets.AESCBCEncryptionSecret)
	}
	return props{
		"id":           "machine_secrets",
		"talosVersion": talosVersion,
		"clientConfiguration": props{
			"caCertificate": encode(bundle.Certs.OS.Crt), "clientCertificate": encode(admin.Crt), "clientKey": secret(encode(admin.Key)),
		},
		"machineSecrets": props{
			"cluster":    props{"id": bundle.Cluster.ID, "secret": secret(bundle.Cluster.Secret)},
			"secrets":    own,
			"trustdinfo": props{"token": secret(bundle.TrustdInfo.Token)},
			"certs": props{
				"etcd": certificate(bundle.Certs.Etcd), "k8s": certificate(bundle.Certs.K8s),
				"k8sAggregator": certificate(bundle.Certs.K8sAggregator), "os": certificate(bundle.Certs.OS),
				"k8sServiceaccount": props{"key": secret(encode(bundle.Certs.K8sServiceAccount.Key))},
			},
		},
	}, nil
}

func defaultTalosVersion() string { return gendata.VersionTag }

func certificate(pair *x509.PEMEncodedCertificateAndKey) props {
	return props{"cert": encode(pair.Crt), "key": secret(encode(pair.Key))}
}

// bundleOf reads the machineSecrets of an input back.
func bundleOf(machineSecrets props) (*secrets.Bundle, error) {
	var failed error
	decode := func(where, encoded string) []byte {
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil && failed == nil {
			failed = fmt.Errorf("machine secrets: %s: %w", where, err)
		}
		return raw
	}
	certs := child(machineSecrets, "certs")
	pair := func(name string) *x509.PEMEncodedCertificateAndKey {
		p := child(certs, name)
		return &x509.PEMEncodedCertificateAndKey{Crt: decode(name, text(p, "cert")), Key: decode(name, text(p, "key"))}
	}
	own := child(machineSecrets, "secrets")
	bundle := &secrets.Bundle{
		Clock:   secrets.NewFixedClock(time.Now()),
		Cluster: &secrets.Cluster{ID: text(child(machineSecrets, "cluster"), "id"), Secret: text(child(machineSecrets, "cluster"), "secret")},
		Secrets: &secrets.Secrets{
			BootstrapToken:            text(own, "bootstrapToken"),
			SecretboxEncryptionSecret: text(own, "secretboxEncryptionSecret"),
			AESCBCEncryptionSecret:    text(own, "aescbcEncryptionSecret"),
		},
		TrustdInfo: &secrets.TrustdInfo{Token: text(child(machineSecrets, "trustdinfo"), "token")},
		Certs: &secrets.Certs{
			Etcd: pair("etcd"), K8s: pair("k8s"), K8sAggregator: pair("k8sAggregator"), OS: pair("os"),
			K8sServiceAccount: &x509.PEMEncodedKey{Key: decode("k8sServiceaccount", text(child(certs, "k8sServiceaccount"), "key"))},
		},
	}
	if failed != nil {
		return nil, failed
	}
	if err := bundle.Validate(); err != nil {
		return nil, fmt.Errorf("machine secrets: %w", err)
	}
	return bundle, nil
}
