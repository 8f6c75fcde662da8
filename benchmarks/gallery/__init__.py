"""The gallery: every page of docs/gallery is run as it is written, and gets its pictures and figures."""
