package pybuilder_test

import (
	"errors"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder/pybuilder"
)

func ExampleNew() {
	_, err := pybuilder.New(&pybuilder.Options{Python: "/opt/no/python3"})
	if errors.Is(err, faas.ErrUnimplemented) { // a platform goes on without the language
		fmt.Println(err)
	}
	_, err = pybuilder.New(&pybuilder.Options{Entry: "handle", Index: "pypi"})
	fmt.Println(err)
	// Output:
	// python builder: new "Python": unimplemented: there is no Python interpreter: exec: "/opt/no/python3": stat /opt/no/python3: no such file or directory; install Python 3.9 or later, or set Options.Python
	// python builder: new "Entry": invalid argument: "handle" is not "module:function"
	// python builder: new "Index": invalid argument: is not an http or https URL
}
