//! JsSIP and what it needs as one script for a page: CommonJS modules by their paths, and a `load` that runs them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The names that are no paths, and where they lie.
const NAMES: [(&str, &str); 4] = [
    ("debug", "debug/src/browser.js"),
    ("events", "events/events.js"),
    ("ms", "ms/index.js"),
    ("sdp-transform", "sdp-transform/lib/index.js"),
];

const LOADER: &str = r"
const loaded = {};
const resolve = (from, name) => {
  if (names[name]) return names[name];
  const path = from.split('/').slice(0, -1);
  for (const step of name.split('/')) { if (step === '..') path.pop(); else if (step !== '.') path.push(step); }
  return [path.join('/'), path.join('/') + '.js', path.join('/') + '/index.js'].find(it => modules[it]);
};
const load = path => {
  if (!loaded[path]) {
    loaded[path] = {exports: {}};
    modules[path](loaded[path], loaded[path].exports, name => load(resolve(path, name)));
  }
  return loaded[path].exports;
};
";

/// Defines `load`, which gives what a module exports: `load('jssip/lib/JsSIP.js')`.
///
/// # Panics
/// When a module is not there.
#[must_use]
pub fn script(modules: &Path) -> String {
    let mut script = "const modules = {}, names = {};\n".to_owned();
    for (name, path) in NAMES {
        let _ = writeln!(script, "names['{name}'] = '{path}';");
    }
    for folder in ["jssip/lib", "debug/src", "events", "ms", "sdp-transform/lib"] {
        add(&mut script, modules, Path::new(folder));
    }
    let package = fs::read_to_string(modules.join("jssip/package.json")).unwrap();
    let _ = writeln!(script, "modules['jssip/package.json'] = module => {{ module.exports = {package}; }};");
    script + LOADER
}

fn add(script: &mut String, modules: &Path, folder: &Path) {
    for entry in fs::read_dir(modules.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            add(script, modules, &path);
        } else if path.extension().is_some_and(|extension| extension == "js") {
            let source = fs::read_to_string(entry.path()).unwrap();
            let path = path.display();
            let _ =
                writeln!(script, "modules['{path}'] = function (module, exports, require) {{\n{source}\n}};");
        }
    }
}
