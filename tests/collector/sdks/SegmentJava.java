import com.segment.analytics.Analytics;
import com.segment.analytics.messages.AliasMessage;
import com.segment.analytics.messages.GroupMessage;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.PageMessage;
import com.segment.analytics.messages.TrackMessage;
import java.util.Map;

/** java SegmentJava URL WRITE_KEY */
public class SegmentJava {
  public static void main(String[] arguments) throws InterruptedException {
    Analytics analytics = Analytics.builder(arguments[1]).endpoint(arguments[0]).build();
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
