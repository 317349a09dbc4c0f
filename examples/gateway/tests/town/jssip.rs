//! A page with JsSIP in it. Its package holds modules as Node has them: they are put into one script here, with what finds them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// Where each package's modules are, and which of them is the package.
const PACKAGES: [(&str, &str, &str); 6] = [
    ("jssip", "lib", "lib/JsSIP.js"),
    ("debug", "src", "src/browser.js"),
    ("ms", "", "index.js"),
    ("events", "", "events.js"),
    ("sdp-transform", "lib", "lib/index.js"),
    ("uuid", "dist/commonjs-browser", "dist/commonjs-browser/index.js"),
];

/// Where JsSIP is installed: `DENWA_NODE_MODULES`.
pub(crate) fn modules() -> Option<PathBuf> {
    let found = std::env::var_os("DENWA_NODE_MODULES").map(PathBuf::from);
    let found = found.filter(|folder| folder.join("jssip").is_dir());
    if found.is_none() {
        let required = std::env::var("DENWA_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "DENWA_NODE_MODULES names no folder with jssip and DENWA_REQUIRE_PEERS=1");
        eprintln!("DENWA_NODE_MODULES names no folder with jssip: this test proves nothing here");
    }
    found
}

/// Serves a page with JsSIP, and its telephone as `phone`: `phone.call(number)`, `phone.answer()`, `phone.end()`, `phone.state`,
/// `phone.stream`.
pub(crate) fn serve(modules: &Path, socket: &str, user: &str, password: &str) -> SocketAddr {
    let script = bundle(modules);
    let page = format!(
        "<!doctype html><meta charset=utf-8><title>JsSIP</title><script src=/jssip.js></script><script>\n\
         const plain = {{audio: {{echoCancellation: false, noiseSuppression: false, autoGainControl: false}}, video: false}};\n\
         const ua = new JsSIP.UA({{sockets: [new JsSIP.WebSocketInterface('{socket}')], uri: 'sip:{user}@gateway.example',\n\
           password: '{password}', register: true, register_expires: 120, session_timers: true}});\n\
         const phone = {{state: 'begun', session: null, stream: null, why: '', keys: '',\n\
           call(number) {{ ua.call('sip:' + number + '@gateway.example', {{mediaConstraints: plain, rtcOfferConstraints: {{offerToReceiveAudio: true}}}}); }},\n\
           answer() {{ phone.session.answer({{mediaConstraints: plain}}); }}, end() {{ phone.session.terminate(); }} }};\n\
         // It registers anew now and then, also in a call.
         ua.on('registered', () => {{ if (!phone.session) phone.state = 'registered'; }});\n\
         ua.on('registrationFailed', e => {{ phone.state = 'not registered: ' + e.cause; }});\n\
         ua.on('newRTCSession', ({{session, originator}}) => {{\n\
           phone.session = session; phone.state = originator === 'local' ? 'calling' : 'rings';\n\
           const listen = pc => pc.addEventListener('track', ({{track}}) => {{ phone.stream = new MediaStream([track]);\n\
             const player = new Audio(); player.muted = true; player.srcObject = phone.stream; player.play().catch(() => {{}}); }});\n\
           if (session.connection) listen(session.connection); session.on('peerconnection', e => listen(e.peerconnection));\n\
           session.on('progress', () => {{ phone.state = originator === 'local' ? 'ringing' : phone.state; }});\n\
           session.on('confirmed', () => {{ phone.state = 'up'; }}); session.on('newDTMF', e => {{ phone.keys += e.dtmf.tone; }});\n\
           session.on('hold', () => {{ phone.held = true; }}); session.on('unhold', () => {{ phone.held = false; }});\n\
           session.on('ended', e => {{ phone.state = 'over'; phone.why = e.cause; }});\n\
           session.on('failed', e => {{ phone.state = 'failed'; phone.why = e.cause; }}); }});\n\
         ua.start();</script>"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(&stream);
            let mut first = String::new();
            let mut line = String::from(" ");
            let _ = reader.read_line(&mut first);
            while !line.trim().is_empty() || line.is_empty() {
                line.clear();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
            }
            let (kind, body) =
                if first.contains("/jssip.js") { ("text/javascript", &script) } else { ("text/html", &page) };
            let _ = write!(
                &stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

fn bundle(modules: &Path) -> String {
    let mut files = BTreeMap::new();
    for (package, folder, _) in PACKAGES {
        gather(modules, &modules.join(package).join(folder), &mut files);
        let about = modules.join(package).join("package.json");
        files.insert(format!("{package}/package.json"), std::fs::read_to_string(about).unwrap());
    }
    let mains: BTreeMap<_, _> =
        PACKAGES.iter().map(|(package, _, main)| (*package, format!("{package}/{main}"))).collect();
    format!(
        "(() => {{ const files = {}; const mains = {}; const loaded = {{}};\n\
         const join = (from, to) => {{ const parts = from.split('/').slice(0, -1); for (const part of to.split('/')) {{\n\
           if (part === '..') parts.pop(); else if (part !== '.') parts.push(part); }} return parts.join('/'); }};\n\
         const find = (from, name) => {{ if (mains[name]) return mains[name]; const path = name[0] === '.' ? join(from, name) : name;\n\
           return [path, path + '.js', path + '.json', path + '/index.js'].find(one => one in files); }};\n\
         const load = path => {{ if (loaded[path]) return loaded[path].exports; const module = loaded[path] = {{exports: {{}}}};\n\
           if (path.endsWith('.json')) module.exports = JSON.parse(files[path]);\n\
           else new Function('module', 'exports', 'require', files[path])(module, module.exports, name => load(find(path, name)));\n\
           return module.exports; }};\n\
         window.JsSIP = load(mains.jssip); }})();",
        serde_json::to_string(&files).unwrap(),
        serde_json::to_string(&mains).unwrap()
    )
}

fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("node_modules") && !path.ends_with("test") && !path.ends_with("tests") {
                gather(root, &path, files);
            }
        } else if path.extension().is_some_and(|it| it == "js") {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            files.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
}
