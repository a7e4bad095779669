import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Scenes with Java's HttpClient, as client.go. Arguments: http1|h2c, basic|full, base URL. */
public class Client {
  static String base;
  static HttpClient client;

  public static void main(String[] args) throws Exception {
    base = args[2];
    client = HttpClient.newBuilder()
        .version(args[0].equals("h2c") ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1)
        .followRedirects(HttpClient.Redirect.ALWAYS)
        .build();
    BodyPublisher none = BodyPublishers.noBody();
    BodyPublisher hello = BodyPublishers.ofString("hello");
    BodyPublisher stream = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream("hello".getBytes()));
    ask("get", "GET", "/echo?a=b", none);
    ask("head", "HEAD", "/echo", none);
    ask("content of a length", "POST", "/echo", hello);
    ask("content without a length", "POST", "/echo", stream);
    ask("large upload", "PUT", "/echo", BodyPublishers.ofByteArray(new byte[1 << 20]));
    tell("expect", request("PUT", "/echo", hello).expectContinue(true));
    if (args[1].equals("basic")) return;
    ask("204", "GET", "/204", none);
    ask("redirect", "POST", "/redirect", BodyPublishers.ofString("again"));
    ask("large", "GET", "/large", none);
    tell("range", request("GET", "/large", none).header("Range", "bytes=10-29"));
    tell("304", request("GET", "/large", none).header("If-None-Match", "\"v1\""));
    tell("gzip", request("GET", "/gzip", none).header("Accept-Encoding", "gzip"));
    ask("trailers", "GET", "/trailers", none);
    giveUp(none);
    System.exit(0);
  }

  static HttpRequest.Builder request(String method, String path, BodyPublisher content) {
    return HttpRequest.newBuilder(URI.create(base + path)).method(method, content).timeout(Duration.ofSeconds(20));
  }

  static void ask(String scene, String method, String path, BodyPublisher content) {
    tell(scene, request(method, path, content));
  }

  static void tell(String scene, HttpRequest.Builder request) {
    String what;
    try {
      HttpResponse<byte[]> response = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
      byte[] content = response.body();
      String shown = content.length > 100 ? content.length + " " + Arrays.hashCode(content) : new String(content, "ISO-8859-1");
      what = response.statusCode() + " " + shown.replace('\n', ' ') + " "
          + response.headers().firstValue("content-range").orElse("-") + " "
          + response.headers().firstValue("content-encoding").orElse("-") + " "
          + response.headers().firstValue("content-length").orElse("-");
    } catch (Exception error) {
      what = "error " + error;
    }
    System.out.println(scene + "\t" + what);
  }

  static void giveUp(BodyPublisher none) throws Exception {
    String key = "java" + System.nanoTime();
    CompletableFuture<?> waiting =
        client.sendAsync(request("GET", "/slow?" + key, none).build(), HttpResponse.BodyHandlers.ofByteArray());
    try {
      waiting.get(500, TimeUnit.MILLISECONDS);
    } catch (Exception error) {
      waiting.cancel(true);
    }
    String isGone = "";
    for (long until = System.currentTimeMillis() + 10_000; !isGone.equals("true") && System.currentTimeMillis() < until; ) {
      isGone = client.send(request("GET", "/gone?" + key, none).build(), HttpResponse.BodyHandlers.ofString()).body();
      Thread.sleep(20);
    }
    System.out.println("given up\t" + isGone);
  }
}
