"""The commands of `widgetwire` beside `serve`. Each imports what it needs itself."""
