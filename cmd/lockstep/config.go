package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/lockstepfs/lockstep/feature"
)

// config is everything that lockstep.yaml, LOCKSTEP_* variables and flags can say. A flag overrides a variable,
// a variable overrides the file.
type config struct {
	Server string `koanf:"server"` // URL of the server that a command talks to
	Token  string `koanf:"token"`  // bearer token that a command sends
	JSON   bool   `koanf:"json"`
	Data   string `koanf:"data"` // folder of this machine's data

	Listen     string   `koanf:"listen"`
	Tokens     string   `koanf:"tokens"` // HASH:read+write+admin, separated by commas
	Roles      []string `koanf:"roles"`
	NATS       string   `koanf:"nats"`
	NATSListen string   `koanf:"nats-listen"`
	ClickHouse string   `koanf:"clickhouse"`
	Database   string   `koanf:"database"`
	Durability string   `koanf:"durability"`
	LogBytes   int64    `koanf:"log-bytes"`
	LogAge     string   `koanf:"log-age"`
	CacheBytes int64    `koanf:"cache-bytes"`
	Engine     string   `koanf:"engine"`
	AllowSQL   bool     `koanf:"allow-sql"`
	LogLevel   string   `koanf:"log-level"`

	level slog.Level // LogLevel, read
}

// envKeys are the settings that may come from the environment: LOCKSTEP_NATS_LISTEN is nats-listen.
var envKeys = []string{
	"server", "token", "json", "data", "listen", "tokens", "roles", "nats", "nats-listen", "clickhouse", "database", "durability",
	"log-bytes", "log-age", "cache-bytes", "engine", "allow-sql", "log-level",
}

// loadConfig reads the file (lockstep.yaml when path is "" and it exists), the environment and the flags.
func loadConfig(path string, flags *pflag.FlagSet) (*config, error) {
	k := koanf.New(".")
	named := path != ""
	if !named {
		path = "lockstep.yaml"
	}
	if _, err := os.Stat(path); err == nil {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, feature.Errorf(feature.CodeInvalid, "read the configuration %s: %w", path, err)
		}
		for _, key := range k.Keys() {
			if !slices.Contains(envKeys, key) {
				return nil, feature.Errorf(feature.CodeInvalid, "%s: unknown setting %q: expected one of %s", path, key, strings.Join(envKeys, ", "))
			}
		}
	} else if named {
		return nil, feature.Errorf(feature.CodeInvalid, "read the configuration: %w", err)
	}
	err := k.Load(env.Provider(".", env.Opt{Prefix: "LOCKSTEP_", TransformFunc: func(name, value string) (string, any) {
		key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "LOCKSTEP_")), "_", "-")
		if value == "" || !slices.Contains(envKeys, key) {
			return "", nil // empty is not set; LOCKSTEP_FLIGHTS and such are no settings
		}
		if key == "roles" {
			return key, strings.Split(value, ",")
		}
		return key, value
	}}), nil)
	if err != nil {
		return nil, fmt.Errorf("read the environment: %w", err)
	}
	if err := k.Load(posflag.Provider(flags, ".", k), nil); err != nil {
		return nil, fmt.Errorf("read the flags: %w", err)
	}
	if err := checkSettings(k); err != nil {
		return nil, err
	}
	var cfg config
	if err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "read the configuration: %w", err)
	}
	if err := cfg.level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "log level %q: expected debug, info, warn or error", cfg.LogLevel)
	}
	return &cfg, nil
}

// checkSettings says which setting is not of its kind.
func checkSettings(k *koanf.Koanf) error {
	for _, key := range k.Keys() {
		value, want := k.Get(key), ""
		_, list := value.([]any)
		switch key {
		case "log-bytes", "cache-bytes":
			if n, err := strconv.ParseInt(fmt.Sprint(value), 10, 64); err != nil || n <= 0 {
				want = "a number of bytes"
			}
		case "json", "allow-sql":
			if _, err := strconv.ParseBool(fmt.Sprint(value)); err != nil {
				want = "true or false"
			}
		case "roles":
		default:
			if list {
				want = "one value, not a list"
			}
		}
		if want != "" {
			return feature.Errorf(feature.CodeInvalid, "setting %s: expected %s, got %q", key, want, fmt.Sprint(value))
		}
	}
	return nil
}
