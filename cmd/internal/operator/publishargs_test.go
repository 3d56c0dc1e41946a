package operator

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
)

func TestListsTakeAllValuesUpToTheNextOption(t *testing.T) {
	fs := pflag.NewFlagSet("publish", pflag.ContinueOnError)
	fs.StringArray("publish", nil, "")
	fs.StringArray("notify", nil, "")
	fs.String("publish-id", "", "")
	fs.StringP("output", "o", "", "")
	fs.Bool("force", false, "")
	for line, want := range map[string]string{
		"--publish a b --publish-id x":           "--publish=a --publish=b --publish-id x",
		"--publish-id --publish --publish a":     "--publish-id --publish --publish=a", // the id is named oddly
		"--publish=a b --force --notify c d":     "--publish=a --publish=b --force --notify=c --notify=d",
		"--publish a --publish b":                "--publish=a --publish=b",
		"--force a":                              "--force a",
		"-o json --publish a":                    "-o json --publish=a",
		"--publish a - b":                        "--publish=a --publish=- --publish=b",
		"--publish a -o json":                    "--publish=a -o json",
		"--publish a --publish_id x --unknown y": "--publish=a --publish_id x --unknown y",
		"a --publish b":                          "a --publish=b",
		"":                                       "",
		"--publish a=b --publish-id=x c":         "--publish=a=b --publish-id=x c",
	} {
		got, err := spread(fs, strings.Fields(line), "publish", "notify")
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s:\n got %q, %v\nwant %s", line, got, err, want)
		}
	}
	for _, line := range []string{"--publish", "--publish --notify a", "--notify a --publish", "--publish --force"} {
		if got, err := spread(fs, strings.Fields(line), "publish", "notify"); !usage.Wrong(err) {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
}

func TestPublishAndFilesAreOneList(t *testing.T) {
	fs := publishCommand(&options{}).Flags()
	if err := fs.Parse([]string{"--publish=a", "--files=b", "--publish=c"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"publish", "files"} {
		got, err := fs.GetStringArray(name)
		if err != nil || strings.Join(got, " ") != "a b c" {
			t.Errorf("--%s: %q, %v, want a b c", name, got, err)
		}
	}
}
