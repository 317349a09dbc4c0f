// One call: an offer is posted, the answer comes back, and a stream of events says how it goes.
const words = {
  en: { title: 'Call', number: 'Number', call: 'Call', end: 'Hang up', mute: 'Mute', keys: 'Keys', asking: 'Asking for the microphone …',
    connecting: 'Connecting …', ringing: 'Ringing …', answered: 'Connected', over: 'The call is over', failed: 'The call failed',
    microphone: 'No microphone: allow this page to use it, and try again.', network: 'No connection to the gateway.', path: 'No path for sound was found: a firewall may be in the way.', lost: 'The connection broke: the network or the gateway is gone.' },
  ja: { title: '電話をかける', number: '電話番号', call: '電話をかける', end: '切る', mute: 'マイクを切る', keys: 'ダイヤル', asking: 'マイクの使用を確認しています…',
    connecting: '接続しています…', ringing: '呼び出しています…', answered: '通話中', over: '通話が終わりました', failed: '電話をかけられませんでした',
    microphone: 'マイクを使えません。このページにマイクの使用を許可して、もう一度お試しください。', network: 'ゲートウェイに接続できません。', path: '音声の経路が見つかりません。ファイアウォールをご確認ください。', lost: '接続が切れました。ネットワークかゲートウェイが止まっています。' },
};
const query = new URLSearchParams(location.search);
const language = (query.get('lang') || navigator.language).startsWith('ja') ? 'ja' : 'en';
const say = words[language];
document.documentElement.lang = language;
document.title = say.title;
for (const element of document.querySelectorAll('[data-text]')) element.textContent = say[element.dataset.text];
for (const link of document.querySelectorAll('.language a')) {
  const other = new URLSearchParams(location.search);
  other.set('lang', link.lang);
  link.search = other;
  if (link.lang === language) link.setAttribute('aria-current', 'true');
}

const find = id => document.getElementById(id);
const side = location.pathname.replace(/\/+$/, '');
let running = null;

function show(state, why = '') {
  find('state').textContent = state ? say[state] : '';
  find('state').dataset.state = state;
  find('why').textContent = why;
  const busy = running !== null;
  find('call').hidden = busy;
  find('end').hidden = find('mute').hidden = find('keys').hidden = !busy;
  find('number').disabled = busy;
}

const gathered = peer => new Promise(done => {
  if (peer.iceGatheringState === 'complete') return done();
  peer.addEventListener('icegatheringstatechange', () => peer.iceGatheringState === 'complete' && done());
  // A server that does not answer is not waited for.
  setTimeout(done, 4000);
});

async function call(number) {
  const mine = running = {};
  find('mute').setAttribute('aria-pressed', 'false');
  show('asking');
  find('end').focus();
  try {
    mine.microphone = await navigator.mediaDevices.getUserMedia({ audio: settings.audio ?? true }).catch(() => { throw say.microphone; });
    if (running !== mine) return close(mine);
    show('connecting');
    const peer = mine.peer = new RTCPeerConnection({ iceServers: settings.iceServers, iceTransportPolicy: query.has('relay') ? 'relay' : 'all' });
    for (const track of mine.microphone.getTracks()) peer.addTrack(track, mine.microphone);
    peer.addEventListener('track', ({ track }) => { find('sound').srcObject = new MediaStream([track]); });
    // A path that was there and answers no more (RFC 7675) is another matter than one that was never found.
    peer.addEventListener('connectionstatechange', () => {
      mine.connected ||= peer.connectionState === 'connected';
      if (peer.connectionState === 'failed') end(mine, 'failed', mine.connected ? say.lost : say.path);
    });
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    const answer = await fetch(`${side}/calls?to=${encodeURIComponent(number)}`,
      { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: peer.localDescription.sdp }).catch(() => { throw say.network; });
    const text = await answer.text();
    if (answer.status !== 201) throw text.trim();
    mine.place = answer.headers.get('Location');
    if (running !== mine) return close(mine);
    await peer.setRemoteDescription({ type: 'answer', sdp: text });
    mine.events = new EventSource(mine.place);
    mine.events.addEventListener('ringing', () => show('ringing'));
    mine.events.addEventListener('answered', () => show('answered'));
    mine.events.addEventListener('over', ({ data }) => end(mine, 'over', data === 'hung up' ? '' : data));
    // The stream is not begun anew: whoever loses it has lost the call.
    mine.events.addEventListener('error', () => end(mine, 'failed', say.network));
  } catch (why) {
    end(mine, 'failed', String(why));
  }
}

function close(mine) {
  mine.events?.close();
  if (mine.place) fetch(mine.place, { method: 'DELETE', keepalive: true }).catch(() => {});
  mine.peer?.close();
  mine.microphone?.getTracks().forEach(track => track.stop());
}

function end(mine, state, why = '') {
  if (running !== mine) return;
  running = null;
  close(mine);
  show(state, why);
  find('call').focus();
}

find('form').addEventListener('submit', event => {
  event.preventDefault();
  if (!running) call(settings.call ?? find('number').value.trim());
});
find('end').addEventListener('click', () => end(running, 'over'));
find('mute').addEventListener('click', () => {
  const muted = find('mute').getAttribute('aria-pressed') !== 'true';
  running?.microphone?.getTracks().forEach(track => { track.enabled = !muted; });
  find('mute').setAttribute('aria-pressed', String(muted));
});
find('keys').addEventListener('click', ({ target }) => target.matches('button') && press(target.textContent));
document.addEventListener('keydown', event => {
  if (running && !event.ctrlKey && !event.metaKey && !event.altKey && /^[0-9*#]$/.test(event.key)) press(event.key);
});
const press = key => running?.place && fetch(`${running.place}/digits`, { method: 'POST', body: key }).catch(() => {});
addEventListener('pagehide', () => running && close(running));

const settings = await fetch(`${side}/setup`).then(answer => answer.json()).catch(() => ({ call: null, iceServers: [] }));
// The server is where the page came from.
for (const server of settings.iceServers) server.urls = server.urls.map(url => url.replace('HOST', location.hostname));
if (settings.call) {
  find('number').required = false;
  find('number-row').hidden = true;
}
find('number').value = query.get('to') ?? '';
show('');
