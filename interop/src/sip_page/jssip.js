'use strict';
const JsSIP = load('jssip/lib/JsSIP.js');
const plain = {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}, video: false};
const host = 'gateway.example';
const agent = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(account.socket)], uri: `sip:${account.user}@${host}`, password: account.password,
  register: true, register_expires: 120, session_timers: true,
});
const phone = window.phone = {
  state: 'begun', session: null, stream: null, why: '', keys: '',
  call(number) {
    agent.call(`sip:${number}@${host}`, {mediaConstraints: plain, rtcOfferConstraints: {offerToReceiveAudio: true}});
  },
  answer() { phone.session.answer({mediaConstraints: plain}); },
  end() { phone.session.terminate(); },
};
const listen = connection => connection.addEventListener('track', ({track}) => {
  phone.stream = new MediaStream([track]);
  const player = new Audio();
  player.muted = true;
  player.srcObject = phone.stream;
  player.play().catch(() => {});
});
// It registers anew now and then, also in a call.
agent.on('registered', () => { if (!phone.session) phone.state = 'registered'; });
agent.on('registrationFailed', event => { phone.state = 'not registered'; phone.why = event.cause; });
agent.on('newRTCSession', ({session, originator}) => {
  Object.assign(phone, {session, stream: null, state: originator === 'local' ? 'calling' : 'rings'});
  session.on('peerconnection', event => listen(event.peerconnection));
  // Of a call from here there is one already.
  if (session.connection) listen(session.connection);
  session.on('progress', () => { if (originator === 'local') phone.state = 'ringing'; });
  session.on('confirmed', () => { phone.state = 'up'; });
  session.on('newDTMF', event => { if (event.originator === 'remote') phone.keys += event.dtmf.tone; });
  session.on('ended', event => { phone.state = 'over'; phone.why = event.cause; });
  session.on('failed', event => { phone.state = 'failed'; phone.why = event.cause; });
});
agent.start();
