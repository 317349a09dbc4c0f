/* One end of ICE by libnice: tells its description in lines, hears ours, and sends back what comes with another first octet. */
#include <agent.h>
#include <stdio.h>
#include <string.h>

static GMainLoop *loop;
static GString *heard;

static void tell(const char *line) {
    puts(line);
    fflush(stdout);
}

static void on_gathered(NiceAgent *agent, guint stream, gpointer unused) {
    (void)stream, (void)unused;
    gchar *sdp = nice_agent_generate_local_sdp(agent);
    fputs(sdp, stdout);
    tell("end");
    g_free(sdp);
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer unused) {
    (void)agent, (void)stream, (void)component, (void)unused;
    if (state == NICE_COMPONENT_STATE_READY) tell("connected");
}

static void on_packet(NiceAgent *agent, guint stream, guint component, guint length, gchar *bytes, gpointer unused) {
    static int count;
    (void)unused;
    bytes[0] = (gchar)0x81;
    nice_agent_send(agent, stream, component, length, bytes);
    if (++count == 50) tell("done");
}

static gboolean on_line(GIOChannel *channel, GIOCondition condition, gpointer agent) {
    gchar *line = NULL;
    (void)condition;
    if (g_io_channel_read_line(channel, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL) {
        g_main_loop_quit(loop);
        return FALSE;
    }
    if (strcmp(line, "end\n") == 0) {
        if (nice_agent_parse_remote_sdp(agent, heard->str) < 1) tell("the description cannot be read");
    } else {
        g_string_append(heard, line);
    }
    g_free(line);
    return TRUE;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    loop = g_main_loop_new(NULL, FALSE);
    heard = g_string_new("m=audio 9 ICE/SDP\n");
    NiceAgent *agent = nice_agent_new(NULL, NICE_COMPATIBILITY_RFC5245);
    g_object_set(agent, "controlling-mode", strcmp(arguments[1], "controlling") == 0, "upnp", FALSE, "ice-tcp", FALSE, NULL);
    NiceAddress address;
    nice_address_init(&address);
    nice_address_set_from_string(&address, arguments[2]);
    nice_agent_add_local_address(agent, &address);
    g_signal_connect(agent, "candidate-gathering-done", G_CALLBACK(on_gathered), NULL);
    g_signal_connect(agent, "component-state-changed", G_CALLBACK(on_state), NULL);
    guint stream = nice_agent_add_stream(agent, 1);
    nice_agent_set_stream_name(agent, stream, "audio");
    nice_agent_attach_recv(agent, stream, 1, NULL, on_packet, NULL);
    g_io_add_watch(g_io_channel_unix_new(0), G_IO_IN | G_IO_HUP, on_line, agent);
    if (!nice_agent_gather_candidates(agent, stream)) return 1;
    g_main_loop_run(loop);
    return 0;
}
