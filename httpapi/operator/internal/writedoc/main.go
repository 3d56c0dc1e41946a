// Command writedoc writes the OpenAPI document to the file named.
package main

import (
	"log"
	"os"

	"github.com/updraft-ota/updraft/httpapi/operator"
)

func main() {
	doc, err := operator.Document()
	if err == nil {
		err = os.WriteFile(os.Args[1], doc, 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}
