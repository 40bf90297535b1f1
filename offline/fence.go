package offline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// harmless are the table functions that SQL from outside may use: they reach no file, no network and no other server.
var harmless = []string{"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "view", "null", "merge"}

// reaching are ordinary functions that read outside of ClickHouse's tables.
var reaching = []string{"file", "catboostevaluate"}

// fence refuses a SELECT of a user that changes settings or reaches outside of ClickHouse's tables. readonly alone does not
// keep it in: a subquery may turn it off. ClickHouse's own parser says what is in the SELECT.
func (s *Store) fence(ctx context.Context, sql string) error {
	tables, err := s.tableFunctions(ctx)
	if err != nil {
		return err
	}
	shell, err := s.parsed(ctx, "SELECT 1")
	if err != nil {
		return err
	}
	lines, err := s.parsed(ctx, sql)
	if err != nil {
		return err
	}
	if n := subqueryLines; len(shell) < n || len(lines) < n || !slices.Equal(lines[:n], shell[:n]) {
		return feature.Errorf(feature.CodeInvalid, "the SQL is not one SELECT: its parentheses do not match")
	}
	var above []string // the node at each depth above the line
	for _, line := range lines {
		node := strings.TrimLeft(line, " ")
		depth := min(len(line)-len(node), len(above))
		kind, rest, _ := strings.Cut(node, " ")
		name, _, _ := strings.Cut(rest, " ")
		name = strings.ToLower(name)
		fromTable := depth > 0 && above[depth-1] == "TableExpression"
		switch {
		case kind == "Set":
			return feature.Errorf(feature.CodeInvalid, "the SQL has SETTINGS, which are not for it to choose: leave them out")
		case kind == "Function" && !slices.Contains(harmless, name) && (fromTable || tables[name] || slices.Contains(reaching, name)):
			return feature.Errorf(feature.CodeInvalid, "the SQL uses %s(), which reaches outside of ClickHouse's tables: make a view of it in ClickHouse and select from that", name)
		}
		above = append(above[:depth], kind)
	}
	return nil
}

// subqueryLines is how many lines parsed has up to the subquery that is the user's SELECT.
const subqueryLines = 9

// parsed returns what ClickHouse's parser makes of a SELECT from the user's SELECT: a line for each node, indented by depth.
func (s *Store) parsed(ctx context.Context, sql string) ([]string, error) {
	rows, err := s.conn.Query(readOnly(ctx), "EXPLAIN AST SELECT * FROM (\n"+inner(sql)+")")
	if err != nil {
		return nil, refused("read the SQL", err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, failure("read the SQL", err)
		}
		lines = append(lines, line)
	}
	return lines, refused("read the SQL", rows.Err())
}

// tableFunctions are the table functions that are no ordinary functions as well, in small letters.
func (s *Store) tableFunctions(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	q := query{doing: "list table functions", sql: "SELECT lower(name) FROM system.table_functions WHERE lower(name) NOT IN (SELECT lower(name) FROM system.functions)"}
	err := s.each(ctx, q, func(r driver.Rows) error {
		var name string
		if err := r.Scan(&name); err != nil {
			return fmt.Errorf("read a name: %w", err)
		}
		names[name] = true
		return nil
	})
	return names, err
}
