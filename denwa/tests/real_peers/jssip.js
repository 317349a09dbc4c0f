// A page's SIP without a page: registers, sends a message, calls, waits for a message and a ping, goes.
'use strict';
global.window = global;
const WebSocket = require('ws');
const JsSIP = require('jssip');

const url = process.argv[2];
const address = new URL(url).host;

// JsSIP opens `new WebSocket(url, 'sip')`; this one also says when it was pinged.
global.WebSocket = class extends WebSocket {
    constructor(...parameters) {
        super(...parameters);
        this.on('ping', () => console.log('pinged'));
    }
};

// There is no sound here: a peer connection that agrees to everything.
const description = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n';
global.RTCPeerConnection = class {
    constructor() {
        this.iceGatheringState = 'complete';
        this.iceConnectionState = 'connected';
        this.signalingState = 'stable';
        this.connectionState = 'connected';
    }
    addEventListener() {}
    removeEventListener() {}
    addTrack() {}
    getSenders() { return []; }
    close() {}
    createOffer() { return Promise.resolve({ type: 'offer', sdp: description }); }
    createAnswer() { return Promise.resolve({ type: 'answer', sdp: description }); }
    setLocalDescription(one) { this.localDescription = one; return Promise.resolve(); }
    setRemoteDescription() { return Promise.resolve(); }
};
global.RTCSessionDescription = class {
    constructor(one) { Object.assign(this, one); }
};

const agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(url)],
    uri: `sip:page@${address}`,
    password: 'none',
    session_timers: false,
    register_expires: 600,
});
const fail = (what) => {
    console.log(`failed: ${what}`);
    process.exit(1);
};
agent.on('registrationFailed', (event) => fail(`registration: ${event.cause}`));
agent.on('registered', () => {
    console.log('registered');
    agent.sendMessage(`sip:desk@${address}`, 'Gr\u00fc\u00dfe', {
        eventHandlers: { succeeded: call, failed: (event) => fail(`message: ${event.cause}`) },
    });
});
agent.on('newMessage', (event) => {
    if (event.originator !== 'remote') return;
    console.log(`message: ${event.request.body}`);
    // The ping comes within a second; the registration is withdrawn after it.
    setTimeout(() => agent.stop(), 1500);
});
agent.on('disconnected', () => process.exit(0));

function call() {
    const session = agent.call(`sip:desk@${address}`, {
        mediaStream: { getTracks: () => [] },
        eventHandlers: {
            confirmed: () => session.terminate(),
            failed: (event) => fail(`call: ${event.cause}`),
            ended: () => console.log('ended'),
        },
    });
}
agent.start();
