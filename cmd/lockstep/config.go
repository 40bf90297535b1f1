package main

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
)

// config is everything that lockstep.yaml, LOCKSTEP_* variables and flags can say; a flag overrides a variable, a
// variable overrides the file. It is the one list of settings: flags, help and docs/configuration.md are made of
// it. The tag flag says which commands have a flag for the setting: all, those that serve, or only serve.
type config struct {
	Server     string `koanf:"server" flag:"all" doc:"URL of the server to talk to"`
	Token      string `koanf:"token" flag:"all" doc:"bearer token to send"`
	CA         string `koanf:"ca" flag:"all" doc:"PEM file of authorities to trust besides the system's: for https, for NATS and for ClickHouse"`
	ClientCert string `koanf:"client_cert" flag:"all" doc:"PEM file of a certificate to show to servers that ask for one"`
	ClientKey  string `koanf:"client_key" flag:"all" doc:"PEM file of its key"`
	JSON       bool   `koanf:"json" flag:"all" doc:"answer in JSON, for machines"`
	Data       string `koanf:"data" flag:"all" doc:"folder of this machine's data"`
	LogLevel   string `koanf:"log_level" flag:"all" doc:"what to log: debug, info, warn or error"`

	Listen   string   `koanf:"listen" flag:"serving" doc:"HTTP address; port 0 takes a free one"`
	Roles    []string `koanf:"roles" flag:"serve" doc:"what this process does: serve keeps a replica and answers reads, ingest takes events, sink carries the log into ClickHouse"`
	Tokens   any      `koanf:"tokens" flag:"serving" doc:"bearer tokens that are known, as NAME=SHA256:read+write+admin, separated by commas, or in the file a list of {name, sha256, scopes}; needed off loopback; see lockstep token"`
	TLS      node.TLS `koanf:"tls"`
	AllowSQL bool     `koanf:"allow_sql" flag:"serving" doc:"let clients send SQL, for spines and the sql command (dev: always)"`

	NATS            string `koanf:"nats" flag:"serving" doc:"URL of NATS servers with JetStream, nats:// or tls:// (default: one in this process)"`
	NATSCredentials string `koanf:"nats_credentials" flag:"serving" doc:"file with credentials for them"`
	NATSListen      string `koanf:"nats_listen" flag:"serving" doc:"loopback address at which the embedded NATS server takes other producers, such as 127.0.0.1:4222"`
	Durability      string `koanf:"durability" flag:"serving" doc:"what acknowledged means for the embedded log: fsync (on disk) or os"`
	LogBytes        int64  `koanf:"log_bytes" flag:"serving" doc:"most bytes of the log; a full log refuses, it loses nothing"`
	LogAge          string `koanf:"log_age" flag:"serving" doc:"age from which log entries that ClickHouse has are removed, such as 30d (default: when room is needed)"`

	ClickHouse  string `koanf:"clickhouse" flag:"serving" doc:"URL of a ClickHouse server, http(s):// or clickhouse://, with ?secure=true for TLS (default: the embedded engine)"`
	Database    string `koanf:"database" flag:"serving" doc:"ClickHouse database (default: that of the URL, else lockstep)"`
	Engine      string `koanf:"engine" flag:"serving" doc:"path of libchdb.so (default: where engine install puts it)"`
	CacheBytes  int64  `koanf:"cache_bytes" flag:"serving" doc:"memory for decoded feature states"`
	StateBudget int64  `koanf:"state_budget" flag:"serving" doc:"bytes of state that a new or changed view may need in every replica, as plan estimates it, without apply --yes"`

	Limits node.Limits `koanf:"limits"`

	level slog.Level // LogLevel, read
}

func defaults() config {
	c := config{
		Data: ".lockstep", LogLevel: "warn", Listen: "127.0.0.1:7600", Roles: []string{"serve", "ingest", "sink"},
		Durability: "fsync", LogBytes: 64 << 30, CacheBytes: 256 << 20, StateBudget: 16 << 30, Limits: node.DefaultLimits(),
	}
	c.Limits.DrainDelay = 2 * time.Second
	return c
}

// setting is one field of config.
type setting struct {
	key  string // in the file, parts separated by dots
	flag string // which commands have a flag for it; "" for none
	doc  string
	def  any
}

// flagName is the key in the way of flags; flags and variables have no nesting.
func (s setting) flagName() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.key) }

// variable is the name in the environment.
func (s setting) variable() string {
	return "LOCKSTEP_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// settings returns all settings in the order of config.
func settings() []setting {
	var out []setting
	walkSettings(reflect.ValueOf(defaults()), "", func(s setting) { out = append(out, s) })
	return out
}

func walkSettings(v reflect.Value, prefix string, visit func(setting)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		key := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			walkSettings(v.Field(i), key+".", visit)
			continue
		}
		visit(setting{key, f.Tag.Get("flag"), f.Tag.Get("doc"), v.Field(i).Interface()})
	}
}

// addFlags adds the flags of the settings for commands of this kind.
func addFlags(flags *pflag.FlagSet, kind string) {
	for _, s := range settings() {
		if s.flag != kind {
			continue
		}
		switch def := s.def.(type) {
		case bool:
			flags.Bool(s.flagName(), def, s.doc)
		case int64:
			flags.Int64(s.flagName(), def, s.doc)
		case []string:
			flags.StringSlice(s.flagName(), def, s.doc)
		case string:
			flags.String(s.flagName(), def, s.doc)
		default: // it has a form of its own in the file
			flags.String(s.flagName(), "", s.doc)
		}
	}
}

// loadConfig reads the file (lockstep.yaml when path is "" and it exists), the environment and the flags.
func loadConfig(path string, flags *pflag.FlagSet) (*config, error) {
	k := koanf.New(".")
	byVariable, byFlag, keys := map[string]string{}, map[string]string{}, []string{}
	for _, s := range settings() {
		byVariable[s.variable()], keys = s.key, append(keys, s.key)
		if s.flag != "" {
			byFlag[s.flagName()] = s.key
		}
	}
	if err := loadFile(k, path, keys); err != nil {
		return nil, err
	}
	err := k.Load(env.Provider(".", env.Opt{Prefix: "LOCKSTEP_", TransformFunc: func(name, value string) (string, any) {
		if value == "" {
			return "", nil // not set
		}
		return byVariable[name], value // one that is no setting, such as LOCKSTEP_FLIGHTS, has no key and is left out
	}}), nil)
	if err != nil {
		return nil, fmt.Errorf("read the environment: %w", err)
	}
	given := posflag.ProviderWithFlag(flags, ".", k, func(f *pflag.Flag) (string, any) {
		if !f.Changed {
			return "", nil
		}
		return byFlag[f.Name], posflag.FlagVal(flags, f)
	})
	if err := k.Load(given, nil); err != nil {
		return nil, fmt.Errorf("read the flags: %w", err)
	}
	if err := checkSettings(k); err != nil {
		return nil, err
	}
	cfg := defaults()
	into := &mapstructure.DecoderConfig{
		Result: &cfg, WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), mapstructure.StringToSliceHookFunc(",")),
	}
	if err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{Tag: "koanf", DecoderConfig: into}); err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "read the configuration: %w", err)
	}
	if err := cfg.level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "log level %q: expected debug, info, warn or error", cfg.LogLevel)
	}
	return &cfg, nil
}

// checkSettings says which setting is not of its kind.
func checkSettings(k *koanf.Koanf) error {
	for _, s := range settings() {
		if !k.Exists(s.key) {
			continue
		}
		value := k.Get(s.key)
		text, want := fmt.Sprint(value), ""
		_, list := value.([]any)
		switch s.def.(type) {
		case int64, int:
			if n, err := strconv.ParseInt(text, 10, 64); err != nil || n <= 0 {
				want = "a number"
				if strings.HasSuffix(s.key, "bytes") {
					want = "a number of bytes"
				}
			}
		case time.Duration:
			if d, err := time.ParseDuration(text); err != nil || d < 0 {
				want = "a time, such as 30s"
			}
		case bool:
			if _, err := strconv.ParseBool(text); err != nil {
				want = "true or false"
			}
		case string:
			if list {
				want = "one value, not a list"
			}
		}
		if want != "" {
			return feature.Errorf(feature.CodeInvalid, "setting %s: expected %s, got %q", s.key, want, text)
		}
	}
	return nil
}

func loadFile(k *koanf.Koanf, path string, keys []string) error {
	named := path != ""
	if !named {
		path = "lockstep.yaml"
	}
	if _, err := os.Stat(path); err != nil {
		if named {
			return feature.Errorf(feature.CodeInvalid, "read the configuration: %w", err)
		}
		return nil
	}
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return feature.Errorf(feature.CodeInvalid, "read the configuration %s: %w", path, err)
	}
	for _, key := range k.Keys() {
		if !slices.Contains(keys, key) {
			return feature.Errorf(feature.CodeInvalid, "%s: unknown setting %q: expected one of %s", path, key, strings.Join(keys, ", "))
		}
	}
	return nil
}
