package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/store/internal/query"
)

// planner asks the database how it would answer a query, and does not ask the
// query.
type planner struct {
	query.DBTX
	plan string
}

var errPlanned = errors.New("planned only")

func (p *planner) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := p.DBTX.QueryContext(ctx, "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		p.plan += step + "\n"
	}
	return nil, errors.Join(errPlanned, rows.Err())
}

// The queue is asked thousands of times a second by devices that have a long
// past and nothing to do: it must look at active updates alone, and not sort.
func TestTheQueueSeesNoPast(t *testing.T) {
	s, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p := &planner{DBTX: s.readers.db}
	if _, err := query.New(p).Queue(t.Context(), "x"); !errors.Is(err, errPlanned) {
		t.Fatal(err)
	}
	if !strings.Contains(p.plan, "device_update_active") || strings.Contains(p.plan, "SCAN") || strings.Contains(p.plan, "B-TREE") {
		t.Errorf("plan:\n%s", p.plan)
	}
}
