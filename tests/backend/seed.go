package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/pocketbase/dbx"
	"github.com/pocketbase/pocketbase/core"
	"github.com/spf13/cobra"
)

type sizes struct {
	products, branches, skus, orders, customers        uint
	pending, processing, completed, completedYesterday uint
}

func newSeedCommand(app core.App) *cobra.Command {
	var s sizes
	seed := &cobra.Command{
		Use:          "seed",
		Short:        "Fills a new data directory with a shop of the given sizes",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			started := time.Now()
			if !command.Flags().Changed("skus") {
				s.skus = s.products * s.branches
			}
			if err := s.fill(command.Context(), app, started.UTC()); err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "seeded %s in %.1f s\n", app.DataDir(), time.Since(started).Seconds())
			return nil
		},
	}

	flags := seed.Flags()
	flags.UintVar(&s.products, "products", 15000, "products")
	flags.UintVar(&s.branches, "branches", 25, "branches")
	flags.UintVar(&s.skus, "skus", 0, "SKUs, at most products × branches (default all of them)")
	flags.UintVar(&s.orders, "orders", 50000, "orders")
	flags.UintVar(&s.customers, "customers", 12000, "customers")
	flags.UintVar(&s.pending, "pending", 0, "items waiting in staging")
	flags.UintVar(&s.processing, "processing", 12, "items being processed")
	flags.UintVar(&s.completed, "completed", 5432, "items completed today, between 00:00 UTC and now")
	flags.UintVar(&s.completedYesterday, "completed-yesterday", 0, "items completed yesterday")
	return seed
}

// fill has no chance in it: the same sizes give the same rows, but for the times in staging, which follow now.
func (s *sizes) fill(ctx context.Context, app core.App, now time.Time) error {
	if s.skus > s.products*s.branches {
		return fmt.Errorf("%d skus are more than %d products × %d branches", s.skus, s.products, s.branches)
	}
	if err := app.RunAllMigrations(); err != nil {
		return err
	}

	return app.RunInTransaction(func(tx core.App) error {
		var used bool
		if err := tx.DB().NewQuery(`SELECT EXISTS (SELECT 1 FROM products UNION ALL SELECT 1 FROM staging)`).Row(&used); err != nil {
			return err
		}
		if used {
			return errors.New("the data directory has a shop already, seed wants a new one")
		}
		for _, table := range s.tables(now) {
			params := dbx.Params{"count": table.count}
			maps.Copy(params, table.params)
			if _, err := tx.DB().NewQuery(table.rows).Bind(params).WithContext(ctx).Execute(); err != nil {
				return err
			}
		}
		return nil
	})
}

// table is one statement that inserts count rows.
type table struct {
	rows   string
	count  uint
	params dbx.Params
}

func (s *sizes) tables(now time.Time) []table {
	midnight := now.Truncate(24 * time.Hour)

	var items uint
	stage := func(status string, count uint, from, until time.Time) table {
		first := items
		items += count
		return table{stagingRows, count, dbx.Params{
			"status": status, "first": first, "from": from.UnixMilli(), "until": until.UnixMilli()}}
	}

	return []table{
		{productRows, s.products, nil},
		{branchRows, s.branches, nil},
		{skuRows, s.skus, dbx.Params{"branches": s.branches}},
		{customerRows, s.customers, nil},
		{orderRows, s.orders, dbx.Params{"customers": s.customers}},
		stage(completed, s.completedYesterday, midnight.AddDate(0, 0, -1), midnight),
		stage(completed, s.completed, midnight, now),
		stage(processing, s.processing, now.Add(-time.Minute), now),
		stage(pending, s.pending, now.Add(-time.Minute), now),
	}
}

// PocketBase keeps columns by name, not in the order of definition: every INSERT names them.
const (
	series = `
WITH RECURSIVE series(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM series LIMIT {:count})
`
	// 2024 is spread over the rows; `%f` is seconds with milliseconds, so this is PocketBase's own format.
	in2024 = `strftime('%Y-%m-%d %H:%M:%fZ', 1704067200 + 31622400 * i / {:count}, 'unixepoch')`

	productRows = `INSERT INTO products (id, code, name, price, created)` + series + `
SELECT printf('prd%012d', i), printf('P%05d', i), printf('Product %d', i), (99 + i * 7919 % 50000) / 100.0, ` + in2024 + ` FROM series`

	branchRows = `INSERT INTO branches (id, name, city, created)` + series + `
SELECT printf('brn%012d', i), printf('Branch %d', i), printf('City %d', i % 7), ` + in2024 + ` FROM series`

	skuRows = `INSERT INTO skus (id, code, product, branch, qty, created)` + series + `
SELECT printf('sku%012d', i), printf('P%05d-%d', i / {:branches}, i % {:branches}),
       printf('prd%012d', i / {:branches}), printf('brn%012d', i % {:branches}), i * 7919 % 100, ` + in2024 + ` FROM series`

	customerRows = `INSERT INTO customers (id, name, email, created)` + series + `
SELECT printf('cus%012d', i), printf('Customer %d', i), printf('customer%d@example.com', i), ` + in2024 + ` FROM series`

	orderRows = `INSERT INTO orders (id, number, customer, total, created)` + series + `
SELECT printf('ord%012d', i), printf('L%07d', i),
       CASE WHEN {:customers} > 0 THEN printf('cus%012d', i * 7919 % {:customers}) ELSE '' END,
       (499 + i * 104729 % 100000) / 100.0, ` + in2024 + ` FROM series`

	// The moments run from {:from}, included, to {:until}, excluded, in milliseconds.
	stagingRows = `INSERT INTO staging (id, reference, status, completed, created)` + series + `,
moments(n, seconds) AS (SELECT {:first} + i, ({:from} + ({:until} - {:from}) * i / {:count}) / 1000.0 FROM series)
SELECT printf('stg%012d', n), printf('L%07d', n), {:status},
       CASE {:status} WHEN 'completed' THEN strftime('%Y-%m-%d %H:%M:%fZ', seconds, 'unixepoch') ELSE '' END,
       strftime('%Y-%m-%d %H:%M:%fZ', seconds - 5, 'unixepoch') FROM moments`
)
