package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// TLS names PEM files; the tags are for lockstep.yaml. The zero TLS is plain HTTP.
type TLS struct {
	Cert     string `koanf:"cert" flag:"serving" doc:"PEM file of the server's certificate, its issuers' behind it; makes the listener https; read again when it changes"`
	Key      string `koanf:"key" flag:"serving" doc:"PEM file of its private key"`
	ClientCA string `koanf:"client_ca" flag:"serving" doc:"PEM file of authorities: when set, clients must have a certificate that one of them issued"`
}

func (t TLS) validate() error {
	if (t.Cert == "") != (t.Key == "") || t.ClientCA != "" && t.Cert == "" {
		return feature.Errorf(feature.CodeInvalid, "TLS needs both a certificate and its key")
	}
	return nil
}

func (t TLS) files() []string {
	files := []string{t.Cert, t.Key}
	if t.ClientCA != "" {
		files = append(files, t.ClientCA)
	}
	return files
}

// load reads the files.
func (t TLS) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "read the certificate %s: %w", t.Cert, err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if t.ClientCA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "read the authority of clients: %w", err)
	}
	cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, feature.Errorf(feature.CodeInvalid, "read the authority of clients: %s has no certificate", t.ClientCA)
	}
	return cfg, nil
}

// reloadEvery is how often a handshake looks whether the files have changed.
const reloadEvery = time.Second

// certificates is what TLS names, read again when the files change. Files that cannot be read, such as a
// certificate that is there before its key, leave the old ones in force.
type certificates struct {
	files  TLS
	logger *slog.Logger

	next    atomic.Int64 // when to look again, in Unix nanoseconds
	current atomic.Pointer[loaded]
}

type loaded struct {
	config *tls.Config
	seen   string // size and time of the files
}

func newCertificates(files TLS, logger *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, logger: logger}
	seen, err := stamps(files.files())
	if err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "read the certificate: %w", err)
	}
	config, err := files.load()
	if err != nil {
		return nil, err
	}
	c.current.Store(&loaded{config, seen})
	return c, nil
}

// config is that of a listener.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c.refresh(time.Now())
		return c.current.Load().config, nil
	}}
}

// refresh reads the files again if they have changed; of several handshakes at a time one does.
func (c *certificates) refresh(now time.Time) {
	next := c.next.Load()
	if now.UnixNano() < next || !c.next.CompareAndSwap(next, now.Add(reloadEvery).UnixNano()) {
		return
	}
	seen, err := stamps(c.files.files())
	if err == nil && seen == c.current.Load().seen {
		return
	}
	var config *tls.Config
	if err == nil {
		config, err = c.files.load()
	}
	if err != nil {
		c.logger.Warn("the TLS certificate cannot be read again, the old one stays", slog.Any("error", err))
		return
	}
	c.current.Store(&loaded{config, seen})
	c.logger.Info("the TLS certificate was read again", slog.String("file", c.files.Cert))
}

// stamps tells whether files have changed.
func stamps(files []string) (string, error) {
	var out strings.Builder
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%d %d;", info.Size(), info.ModTime().UnixNano())
	}
	return out.String(), nil
}
