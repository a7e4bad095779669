import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

/** Tells on its standard output what Tomcat read: one JSON object a request. */
public class EchoServer {
  public static void main(String[] args) throws Exception {
    Tomcat tomcat = new Tomcat();
    tomcat.setBaseDir(args[1]);
    tomcat.setHostname("127.0.0.1");
    tomcat.setPort(Integer.parseInt(args[0]));
    tomcat.getConnector().setProperty("address", "127.0.0.1");
    // The careless settings, too, that installations have.
    tomcat.getConnector().setProperty("relaxedPathChars", "[]|{}^`\"<>\\");
    tomcat.getConnector().setProperty("relaxedQueryChars", "[]|{}^`\"<>\\");
    tomcat.getConnector().setProperty("encodedSolidusHandling", "decode");
    tomcat.getConnector().setProperty("allowBackslash", "true");
    Context context = tomcat.addContext("", null);
    Tomcat.addServlet(context, "echo", new Echo());
    context.addServletMappingDecoded("/*", "echo");
    tomcat.start();
    tomcat.getServer().await();
  }

  static class Echo extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
        throws IOException {
      int length = request.getInputStream().readAllBytes().length;
      // What a servlet is mapped by: without path parameters, decoded, normalised.
      String path = request.getServletPath() + (request.getPathInfo() == null ? "" : request.getPathInfo());
      System.out.println(
          "{\"port\":" + request.getRemotePort()
              + ",\"method\":" + quoted(request.getMethod())
              + ",\"path\":" + quoted(path)
              + ",\"bytes\":" + length + "}");
      response.getWriter().write("ok");
    }
  }

  private static String quoted(String text) {
    StringBuilder out = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') out.append(String.format("\\u%04x", (int) c));
      else out.append(c);
    }
    return out.append('"').toString();
  }
}
