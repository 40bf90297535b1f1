package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// clientTLS is how this process speaks TLS to others: to a Lockstep server, to NATS, to ClickHouse. It is nil when
// nothing is set.
func (c *config) clientTLS() (*tls.Config, error) {
	if c.CA == "" && c.ClientCert == "" && c.ClientKey == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, feature.Errorf(feature.CodeInvalid, "read the setting ca: %w", err)
		}
		if cfg.RootCAs, err = x509.SystemCertPool(); err != nil {
			cfg.RootCAs = x509.NewCertPool()
		}
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, feature.Errorf(feature.CodeInvalid, "read the setting ca: %s has no certificate", c.CA)
		}
	}
	if c.ClientCert != "" || c.ClientKey != "" {
		pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, feature.Errorf(feature.CodeInvalid, "read the settings client_cert and client_key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// open returns a client of the server at url.
func (a *app) open(url string) (*sdk.Client, error) {
	secure, err := a.cfg.clientTLS()
	if err != nil {
		return nil, err
	}
	var told sync.Once
	return sdk.Open(url, sdk.Config{Token: a.cfg.Token, TLS: secure, Patience: patience, Waiting: func(reason error, _ time.Duration) {
		if errors.Is(reason, feature.ErrOverloaded) {
			told.Do(func() { fmt.Fprintf(a.err, "lockstep: waiting: %v\n", reason) })
		}
	}})
}

// patience is how long a command with a file or a training set waits for its turn at a server that serves as many others of its
// kind as it may. Reads and pushes end with their time.
const patience = 10 * time.Minute
