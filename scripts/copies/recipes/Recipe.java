// Recipe math|local|secure|uuid|drbg|fixed: a value of one of Java's generators for each line of standard input.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

final class Recipe {
    /** A u32, another one after each reseed of the kernel. */
    private static final Path GENERATION = Path.of("/run/commonhv/generation");

    /** Reads the kernel at each call, at most 100 ms ahead. */
    private final SecureRandom kernel = new SecureRandom();
    private final SecureRandom drbg = SecureRandom.getInstance("DRBG");
    private SplittableRandom own = seeded();
    private byte[] seen = generation();

    private Recipe() throws GeneralSecurityException {
        drbg.nextBytes(new byte[16]);
    }

    private static byte[] generation() {
        try {
            return Files.readAllBytes(GENERATION);
        } catch (IOException absent) {
            return new byte[0];
        }
    }

    private SplittableRandom seeded() {
        return new SplittableRandom(kernel.nextLong());
    }

    /** The recipe: the kernel is reseeded when the file changes, so both generators take seeds that only this copy has. */
    private String fixed() {
        byte[] now = generation();
        if (!Arrays.equals(now, seen)) {
            seen = now;
            drbg.reseed();
            own = seeded();
        }
        return String.format("%08x%08x", drbg.nextInt(), (int) own.nextLong());
    }

    private String draw(String kind) {
        return switch (kind) {
            case "math" -> String.format("%016x", Double.doubleToLongBits(Math.random()));
            case "local" -> String.format("%016x", ThreadLocalRandom.current().nextLong());
            case "secure" -> String.format("%016x", kernel.nextLong());
            case "uuid" -> UUID.randomUUID().toString();
            case "drbg" -> String.format("%016x", drbg.nextLong());
            default -> fixed();
        };
    }

    public static void main(String[] arguments) throws IOException, GeneralSecurityException {
        Recipe recipe = new Recipe();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        while (lines.readLine() != null) {
            System.out.println(recipe.draw(arguments[0]));
        }
    }
}
