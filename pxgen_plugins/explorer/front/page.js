// The page that hosts explorer.js.
