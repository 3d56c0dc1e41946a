package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"

	"github.com/updraft-ota/updraft/store/internal/query"
)

// filter is the tail of a list query, which ends in a WHERE with one argument.
// It stands between the generated code and the transaction and puts itself
// behind the one query it sees; columns are text of ours, values always
// arguments.
type filter struct {
	query.DBTX
	tail strings.Builder
	args []any
}

// narrow starts a filter of queries on t.
func (t *readTx) narrow() *filter { return &filter{DBTX: t.sql} }

// arg adds an argument and returns its number as SQL writes it; $1 is taken.
func (f *filter) arg(v any) string {
	f.args = append(f.args, v)
	return fmt.Sprintf("$%d", len(f.args)+1)
}

// equal keeps rows whose column has the value; "" keeps all.
func (f *filter) equal(column, value string) {
	if value != "" {
		fmt.Fprintf(&f.tail, " AND %s = %s", column, f.arg(value))
	}
}

// only keeps rows of which the condition, text of ours, is true.
func (f *filter) only(condition string) { f.tail.WriteString(" AND " + condition) }

// either keeps rows that have the value in one of two columns; "" keeps all.
func (f *filter) either(one, other, value string) {
	if value != "" {
		n := f.arg(value)
		fmt.Fprintf(&f.tail, " AND (%s = %s OR %s = %s)", one, n, other, n)
	}
}

// among keeps rows whose column has one of the values; none keeps all.
func among[S ~string](f *filter, column string, values []S) {
	if len(values) == 0 {
		return
	}
	numbers := make([]string, len(values))
	for i, v := range values {
		numbers[i] = f.arg(string(v))
	}
	fmt.Fprintf(&f.tail, " AND %s IN (%s)", column, strings.Join(numbers, ", "))
}

// page orders the rows and keeps limit of them from offset on; 0 is no limit.
func (f *filter) page(order string, offset, limit int) {
	if limit <= 0 {
		limit = math.MaxInt64 // an offset needs a limit
	}
	fmt.Fprintf(&f.tail, " ORDER BY %s LIMIT %s OFFSET %s", order, f.arg(int64(limit)), f.arg(int64(max(0, offset))))
}

// group makes one row of those that are alike.
func (f *filter) group(columns string) { f.tail.WriteString(" GROUP BY " + columns) }

// queries are the generated ones with the filter behind them.
func (f *filter) queries() *query.Queries { return query.New(f) }

func (f *filter) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return f.DBTX.QueryContext(ctx, text+f.tail.String(), append(args, f.args...)...)
}

func (f *filter) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	return f.DBTX.QueryRowContext(ctx, text+f.tail.String(), append(args, f.args...)...)
}
