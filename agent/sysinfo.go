package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"
)

const (
	systemInfoLimit = 60 * time.Second
	maxSystemInfo   = 1 << 20 // bytes of a program's output
	noSystemInfo    = "off"   // device.system_info for a device that tells nothing
)

// systemInfo describes the device as device.system_info wants it: by the
// program it names, or by ourselves if it is empty. It fails if it is "off", if
// the program fails, takes longer than a minute, prints more than 1 MiB or
// anything but one JSON document in UTF-8 (client.md 8.5).
func systemInfo(ctx context.Context, how string) ([]byte, error) {
	switch how {
	case noSystemInfo:
		return nil, errors.New("none is given: device.system_info is off")
	case "":
		return machine{os.DirFS("/")}.describe()
	}
	doc, err := program{how, systemInfoLimit, maxSystemInfo}.run(ctx)
	if err == nil && (!utf8.Valid(doc) || !json.Valid(doc)) {
		err = fmt.Errorf("%s does not print JSON", how)
	}
	return doc, err
}
