package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/nats-io/nats-server/v2/server"
)

// natsServer is the main function of nats-server, which is not a package that can be imported.
func natsServer() {
	fs := flag.NewFlagSet("nats-server", flag.ExitOnError)
	opts, err := server.ConfigureOptions(fs, os.Args[1:], nil, nil, nil)
	if err == nil && opts == nil {
		return
	}
	var s *server.Server
	if err == nil {
		s, err = server.NewServer(opts)
	}
	if err == nil {
		s.ConfigureLogger()
		err = server.Run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.WaitForShutdown()
}

// composeFile is what the test needs of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Command     []string          `yaml:"command"`
		Environment map[string]string `yaml:"environment"`
	} `yaml:"services"`
}

// TestCompose runs what docker-compose.yml says, its command lines, its environment and the configuration of its
// log, as processes of this machine: a NATS server, ClickHouse over HTTP, and lockstep serve. Names of hosts become
// loopback, folders of containers become folders of the test.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	here := strings.NewReplacer(
		"nats:4222", startNATS(t, dir, file.Services["nats"].Command), "clickhouse:8123", startEngine(t, dir),
		"0.0.0.0:7600", "0.0.0.0:0", "/data", filepath.Join(dir, "data"),
	)
	url := filepath.Join(dir, "url")
	env := []string{}
	for name, value := range file.Services["lockstep"].Environment {
		env = append(env, name+"="+here.Replace(value))
	}
	background(t, env, "lockstep", append(file.Services["lockstep"].Command, "--url-file", url)...)
	server, err := awaitFile(url)
	if err != nil {
		t.Fatal(err)
	}
	runScripts(t, "testdata/script/deployment", "LOCKSTEP_SERVER="+server)
}

// startNATS starts a NATS server with the compose file's command line and configuration, at a free port, and
// returns its address.
func startNATS(t *testing.T, dir string, args []string) string {
	t.Helper()
	conf, err := os.ReadFile("../../deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("0.0.0.0:4222", "127.0.0.1:-1", "/data", filepath.Join(dir, "nats"))
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte(here.Replace(string(conf))+"ports_file_dir: "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args = slices.Clone(args)
	for i := range args {
		args[i] = strings.Replace(args[i], "/etc/nats/nats.conf", path, 1)
	}
	cmd := background(t, nil, "nats-server", args...)
	var ports struct{ NATS []string }
	await(t, "the NATS server does not say where it listens", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("nats-server_%d.ports", cmd.Process.Pid)))
		return err == nil && json.Unmarshal(b, &ports) == nil && len(ports.NATS) > 0
	})
	return strings.TrimPrefix(ports.NATS[0], "nats://")
}

// startEngine starts ClickHouse over HTTP and returns its address.
func startEngine(t *testing.T, dir string) string {
	t.Helper()
	url := filepath.Join(dir, "engine.url")
	background(t, nil, "lockstep", "engine", "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "engine"), "--url-file", url)
	text, err := awaitFile(url)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(text, "http://")
}
