package device

import (
	"log/slog"

	"github.com/updraft-ota/updraft/agent"
)

// configure puts the configuration together: defaults, the file, options.
func configure(path string, flags map[string]string, getenv func(string) string, log *slog.Logger) (agent.Config, error) {
	cfg := agent.NewConfig()
	if path == "" {
		path = getenv("SOTA_CONFIG")
	}
	if path == "" {
		log.Warn("no configuration file is named (--config or SOTA_CONFIG): going on with the defaults")
	} else {
		var warnings []string
		var err error
		if cfg, warnings, err = agent.LoadConfig(path); err != nil {
			return cfg, err
		}
		for _, w := range warnings {
			log.Warn(w)
		}
	}
	if err := cfg.Apply(flags); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}
