import {Inviter, Registerer, RegistererState, SessionState, UserAgent} from '/modules/sip.js/lib/index.js';
const options = {
  sessionDescriptionHandlerOptions: {
    constraints: {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}, video: false},
  },
};
const host = 'gateway.example';
const phone = window.phone = {
  state: 'begun', session: null, stream: null, why: '', keys: '',
  call(number) {
    const inviter = new Inviter(agent, UserAgent.makeURI(`sip:${number}@${host}`), options);
    attend(inviter, 'calling');
    inviter.invite({requestDelegate: {
      onProgress: () => { phone.state = 'ringing'; },
      onReject: ({message}) => { phone.state = 'failed'; phone.why = `${message.statusCode} ${message.reasonPhrase}`; },
    }}).catch(failed);
  },
  answer() { phone.session.accept(options).catch(failed); },
  end() {
    const {session} = phone;
    if (session.state === SessionState.Established) session.bye();
    else if (session instanceof Inviter) session.cancel();
    else session.reject();
  },
};
const failed = error => { phone.state = 'failed'; phone.why = `${error}`; };
const attend = (session, state) => {
  Object.assign(phone, {session, state, stream: null});
  session.delegate = {
    onInfo: info => {
      phone.keys += /Signal *= *(.)/.exec(info.request.body)?.[1] ?? '';
      info.accept();
    },
  };
  session.stateChange.addListener(now => {
    if (now === SessionState.Established) {
      const tracks = session.sessionDescriptionHandler.peerConnection.getReceivers().map(it => it.track);
      phone.stream = new MediaStream(tracks);
      const player = new Audio();
      player.muted = true;
      player.srcObject = phone.stream;
      player.play().catch(() => {});
      phone.state = 'up';
    } else if (now === SessionState.Terminated && phone.state !== 'failed') {
      phone.state = 'over';
    }
  });
};
const agent = new UserAgent({
  uri: UserAgent.makeURI(`sip:${account.user}@${host}`), transportOptions: {server: account.socket},
  authorizationUsername: account.user, authorizationPassword: account.password,
  sessionDescriptionHandlerFactoryOptions: {peerConnectionConfiguration: {iceServers: []}},
  delegate: {onInvite: invitation => attend(invitation, 'rings')},
});
try {
  await agent.start();
  const registerer = new Registerer(agent, {expires: 120});
  registerer.stateChange.addListener(now => {
    if (now === RegistererState.Registered && !phone.session) phone.state = 'registered';
  });
  await registerer.register({requestDelegate: {
    onReject: ({message}) => { phone.state = 'not registered'; phone.why = `${message.statusCode}`; },
  }});
} catch (error) { failed(error); }
