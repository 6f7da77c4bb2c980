import com.rudderstack.sdk.java.analytics.RudderAnalytics;
import com.rudderstack.sdk.java.analytics.messages.AliasMessage;
import com.rudderstack.sdk.java.analytics.messages.GroupMessage;
import com.rudderstack.sdk.java.analytics.messages.IdentifyMessage;
import com.rudderstack.sdk.java.analytics.messages.PageMessage;
import com.rudderstack.sdk.java.analytics.messages.TrackMessage;
import java.util.Map;

/** java RudderJava URL WRITE_KEY */
public class RudderJava {
  public static void main(String[] arguments) throws InterruptedException {
    RudderAnalytics analytics = RudderAnalytics.builder(arguments[1]).setDataPlaneUrl(arguments[0]).build();
    analytics.enqueue(IdentifyMessage.builder().userId("u1").traits(Map.of("plan", "pro")));
    analytics.enqueue(
        TrackMessage.builder("Order Completed").userId("u1").properties(Map.of("price", 12.5, "big", 9007199254740993L)));
    analytics.enqueue(PageMessage.builder("Start").userId("u1"));
    analytics.enqueue(GroupMessage.builder("g1").userId("u1").traits(Map.of("size", 3)));
    analytics.enqueue(AliasMessage.builder("a1").userId("u1"));
    analytics.flush();
    analytics.shutdown();
  }
}
