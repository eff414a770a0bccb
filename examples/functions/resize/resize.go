// Package resize is a function of the demo: it makes a PNG picture smaller.
package resize

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strconv"
)

// Handler answers a PNG picture with the same picture scaled to ?width= pixels
// (default 128), by averaging: each pixel is the mean of those it stands for.
func Handler(w http.ResponseWriter, r *http.Request) {
	width := 128
	if s := r.URL.Query().Get("width"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 4096 {
			http.Error(w, fmt.Sprintf("width %q is not a number from 1 to 4096", s), http.StatusBadRequest)
			return
		}
		width = n
	}
	src, err := png.Decode(r.Body)
	if err != nil {
		http.Error(w, "body is not a PNG picture: "+err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	if err := png.Encode(w, shrink(src, width)); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// shrink scales src down to the width; a picture that is not wider stays as it is.
func shrink(src image.Image, width int) image.Image {
	b := src.Bounds()
	if b.Dx() <= width {
		return src
	}
	height := max(1, b.Dy()*width/b.Dx())
	dst := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		y0, y1 := b.Min.Y+y*b.Dy()/height, b.Min.Y+(y+1)*b.Dy()/height
		for x := range width {
			x0, x1 := b.Min.X+x*b.Dx()/width, b.Min.X+(x+1)*b.Dx()/width
			dst.Set(x, y, mean(src, image.Rect(x0, y0, x1, y1)))
		}
	}
	return dst
}

func mean(src image.Image, area image.Rectangle) color.Color {
	var r, g, b, a uint64
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			pr, pg, pb, pa := src.At(x, y).RGBA()
			r, g, b, a = r+uint64(pr), g+uint64(pg), b+uint64(pb), a+uint64(pa)
		}
	}
	n := uint64(area.Dx() * area.Dy())
	return color.RGBA64{R: uint16(r / n), G: uint16(g / n), B: uint16(b / n), A: uint16(a / n)}
}
