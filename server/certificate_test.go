package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/server"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, key := issue(t, template, nil)
	a.key, a.pem = key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func issue(t *testing.T, template *x509.Certificate, by *authority) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// pair returns a certificate for loopback and its key, in PEM.
func (a *authority) pair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	der, private := issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shown returns the name in the certificate that the server shows.
func shown(t *testing.T, addr string, cfg *tls.Config) (string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + addr + "/healthz")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 1 {
		t.Errorf("answered %s with %s", resp.Status, resp.Proto)
	}
	return resp.TLS.PeerCertificates[0].Subject.CommonName, nil
}

func TestTLS(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	cfg := (&parts{}).config()
	cfg.TLS = server.TLS{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	if _, err := server.New(cfg); err == nil || !strings.Contains(err.Error(), "read the certificate") {
		t.Errorf("New without the files: %v", err)
	}
	cert, key := a.pair(t, "first")
	write(t, cfg.TLS.Cert, cert)
	write(t, cfg.TLS.Key, key)
	s := start(t, cfg)
	addr, trust := s.srv.Addr().String(), &tls.Config{RootCAs: a.pool}
	if name, err := shown(t, addr, trust); name != "first" || err != nil {
		t.Fatalf("shows %q, %v", name, err)
	}
	if _, err := shown(t, addr, nil); err == nil {
		t.Error("a client that does not know the authority is served")
	}
	// A certificate without its key leaves the old pair in force; with the key the new one comes.
	cert, key = a.pair(t, "second")
	write(t, cfg.TLS.Cert, cert)
	eventually(t, "the file is looked at again", func() bool {
		name, err := shown(t, addr, trust)
		if name != "first" || err != nil {
			t.Fatalf("half a pair: shows %q, %v", name, err)
		}
		write(t, cfg.TLS.Key, key)
		return true
	})
	eventually(t, "the new certificate is shown", func() bool {
		name, err := shown(t, addr, trust)
		if err != nil {
			t.Fatal(err)
		}
		return name == "second"
	})
}

func TestClientCertificates(t *testing.T) {
	a, strangers, dir := newAuthority(t), newAuthority(t), t.TempDir()
	cfg := (&parts{}).config()
	cfg.TLS = server.TLS{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), ClientCA: filepath.Join(dir, "ca.crt")}
	cert, key := a.pair(t, "server")
	write(t, cfg.TLS.Cert, cert)
	write(t, cfg.TLS.Key, key)
	write(t, cfg.TLS.ClientCA, a.pem)
	s := start(t, cfg)
	for _, tc := range []struct {
		by *authority
		ok bool
	}{{a, true}, {strangers, false}, {nil, false}} {
		client := &tls.Config{RootCAs: a.pool}
		if tc.by != nil {
			pair, err := tls.X509KeyPair(tc.by.pair(t, "client"))
			if err != nil {
				t.Fatal(err)
			}
			client.Certificates = []tls.Certificate{pair}
		}
		if _, err := shown(t, s.srv.Addr().String(), client); (err == nil) != tc.ok {
			t.Errorf("with a certificate: %v: %v", tc.by != nil, err)
		}
	}
	for _, bad := range []server.TLS{{Cert: cfg.TLS.Cert}, {Key: "x"}, {ClientCA: "x"}} {
		cfg.TLS = bad
		if _, err := server.New(cfg); err == nil {
			t.Errorf("New with %+v", bad)
		}
	}
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
