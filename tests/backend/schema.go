package main

import (
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
)

// The states of an item in staging.
const (
	pending    = "pending"
	processing = "processing"
	completed  = "completed"
)

// As a migration it runs in `serve` too, which therefore works on an empty directory.
func init() {
	core.AppMigrations.Register(createCollections, nil, "1780000000_linkit_collections.go")
}

func createCollections(app core.App) error {
	products := collection("products",
		&core.TextField{Name: "code", Required: true},
		&core.TextField{Name: "name", Required: true},
		&core.NumberField{Name: "price", Min: types.Pointer(0.0)})
	branches := collection("branches",
		&core.TextField{Name: "name", Required: true},
		&core.TextField{Name: "city"})
	skus := collection("skus",
		&core.TextField{Name: "code", Required: true},
		&core.RelationField{Name: "product", CollectionId: products.Id, Required: true},
		&core.RelationField{Name: "branch", CollectionId: branches.Id, Required: true},
		&core.NumberField{Name: "qty", OnlyInt: true})
	customers := collection("customers",
		&core.TextField{Name: "name", Required: true},
		&core.EmailField{Name: "email"})
	orders := collection("orders",
		&core.TextField{Name: "number", Required: true},
		&core.RelationField{Name: "customer", CollectionId: customers.Id}, // empty: a guest
		&core.NumberField{Name: "total", Min: types.Pointer(0.0)})
	staging := collection("staging",
		&core.TextField{Name: "reference", Required: true}, // the order's number
		&core.SelectField{Name: "status", Values: []string{pending, processing, completed}, Required: true},
		&core.DateField{Name: "completed"})

	// What pending, processing and completed_today are counted by. Both cost little: the first holds only the
	// open items, the second is read only from midnight on. SQLite uses the first for `status = 'pending'`, for
	// `status = 'processing'` and for both joined by OR, but not for `status IN (…)`; as an index condition
	// PocketBase cannot even parse that, because it takes the last closing bracket for the end of the columns.
	staging.AddIndex("idx_staging_open", false, "status", "status = 'pending' OR status = 'processing'")
	staging.AddIndex("idx_staging_completed", false, "completed", "status = 'completed'")

	for _, c := range []*core.Collection{products, branches, skus, customers, orders, staging} {
		if err := app.Save(c); err != nil {
			return err
		}
	}
	return nil
}

// collection has no access rules, so that only superusers reach it over the API.
func collection(name string, fields ...core.Field) *core.Collection {
	c := core.NewBaseCollection(name)
	c.Fields.Add(fields...)
	c.Fields.Add(&core.AutodateField{Name: "created", OnCreate: true}) // code-made collections have none
	return c
}
