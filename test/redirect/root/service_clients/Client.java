import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketAddress;

/** Orders and answers as of client.c, without "talk", "peer", "tie", "many", "time" and "mark"; an error is only that. */
public class Client {
	public static void main(String[] none) throws IOException {
		BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
		for (String line = lines.readLine(); line != null; line = lines.readLine()) {
			String[] words = line.split(" ");
			InetSocketAddress to = new InetSocketAddress(words[1], Integer.parseInt(words[2]));
			try {
				System.out.println(words[0].equals("tcp") ? tcp(to) : udp(to, words[0].equals("udpc")));
			} catch (IOException error) {
				System.out.println("error " + error.getMessage());
			}
			System.out.flush();
		}
	}

	private static String tcp(InetSocketAddress to) throws IOException {
		try (Socket socket = new Socket()) {
			socket.connect(to, 20_000);
			String text = new String(socket.getInputStream().readAllBytes());
			return "peer " + spaced(socket.getRemoteSocketAddress()) + " said " + text;
		}
	}

	private static String udp(InetSocketAddress to, boolean isConnected) throws IOException {
		try (DatagramSocket socket = new DatagramSocket()) {
			socket.setSoTimeout(20_000);
			byte[] question = "?".getBytes();
			if (isConnected) {
				socket.connect(to);
				socket.send(new DatagramPacket(question, question.length));
			} else {
				socket.send(new DatagramPacket(question, question.length, to));
			}
			DatagramPacket answer = new DatagramPacket(new byte[256], 256);
			socket.receive(answer);
			String peer = isConnected ? " peer " + spaced(socket.getRemoteSocketAddress()) : "";
			String text = new String(answer.getData(), 0, answer.getLength());
			return "from " + spaced(answer.getSocketAddress()) + peer + " said " + text;
		}
	}

	private static String spaced(SocketAddress address) {
		InetSocketAddress inet = (InetSocketAddress) address;
		return inet.getAddress().getHostAddress() + " " + inet.getPort();
	}
}
